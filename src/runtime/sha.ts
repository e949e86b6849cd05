// Steps of SHA-1 and SHA-256 (SDM 2B and 2C, the instructions' pages; FIPS 180-4). Word 3 of a vector is its first one
// in the standard's order: A, B, C, D from the top down.

// @ts-ignore: decorator
@inline function words(w3: u32, w2: u32, w1: u32, w0: u32): v128 {
  return i64x2.replace_lane(i64x2.splat(<u64>w0 | (<u64>w1 << 32)), 1, <u64>w2 | (<u64>w3 << 32));
}
// @ts-ignore: decorator
@inline function choose(x: u32, y: u32, z: u32): u32 { return z ^ (x & (y ^ z)); }
// @ts-ignore: decorator
@inline function majority(x: u32, y: u32, z: u32): u32 { return (x & y) | (z & (x | y)); }

/** SHA1RNDS4: four rounds; word 3 of `schedule` already has E added. */
export function sha1Rounds(cpu: usize, state: v128, schedule: v128, imm: i32): v128 {
  let a: u32 = i32x4.extract_lane(state, 3), b: u32 = i32x4.extract_lane(state, 2), c: u32 = i32x4.extract_lane(state, 1), d: u32 = i32x4.extract_lane(state, 0), e: u32 = 0;
  const kind = imm & 3;
  const k: u32 = kind == 0 ? 0x5a827999 : kind == 1 ? 0x6ed9eba1 : kind == 2 ? 0x8f1bbcdc : 0xca62c1d6;
  const w0: u32 = i32x4.extract_lane(schedule, 3), w1: u32 = i32x4.extract_lane(schedule, 2), w2: u32 = i32x4.extract_lane(schedule, 1), w3: u32 = i32x4.extract_lane(schedule, 0);
  for (let i = 0; i < 4; i++) {
    const f = kind == 0 ? choose(b, c, d) : kind == 2 ? majority(b, c, d) : b ^ c ^ d;
    const next = f + rotl<u32>(a, 5) + e + k + (i == 0 ? w0 : i == 1 ? w1 : i == 2 ? w2 : w3);
    e = d;
    d = c;
    c = rotl<u32>(b, 30);
    b = a;
    a = next;
  }
  return words(a, b, c, d);
}
/** SHA1NEXTE. */
export function sha1NextE(cpu: usize, state: v128, schedule: v128): v128 {
  const e = rotl<u32>(i32x4.extract_lane(state, 3), 30);
  return i32x4.replace_lane(schedule, 3, <u32>i32x4.extract_lane(schedule, 3) + e);
}
/** SHA1MSG2 (SHA1MSG1 is exclusive-ors only). */
export function sha1Message(cpu: usize, a: v128, b: v128): v128 {
  const w16 = rotl<u32>(<u32>i32x4.extract_lane(a, 3) ^ <u32>i32x4.extract_lane(b, 2), 1);
  const w17 = rotl<u32>(<u32>i32x4.extract_lane(a, 2) ^ <u32>i32x4.extract_lane(b, 1), 1);
  const w18 = rotl<u32>(<u32>i32x4.extract_lane(a, 1) ^ <u32>i32x4.extract_lane(b, 0), 1);
  const w19 = rotl<u32>(<u32>i32x4.extract_lane(a, 0) ^ w16, 1);
  return words(w16, w17, w18, w19);
}

/** SHA256RNDS2: `cdgh` the destination, `abef` the source, two words of schedule plus constant. */
export function sha256Rounds(cpu: usize, cdgh: v128, abef: v128, schedule: i64): v128 {
  let a: u32 = i32x4.extract_lane(abef, 3), b: u32 = i32x4.extract_lane(abef, 2), e: u32 = i32x4.extract_lane(abef, 1), f: u32 = i32x4.extract_lane(abef, 0);
  let c: u32 = i32x4.extract_lane(cdgh, 3), d: u32 = i32x4.extract_lane(cdgh, 2), g: u32 = i32x4.extract_lane(cdgh, 1), h: u32 = i32x4.extract_lane(cdgh, 0);
  for (let i = 0; i < 2; i++) {
    const wk = <u32>(i == 0 ? schedule : schedule >> 32);
    const t1 = choose(e, f, g) + (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25)) + wk + h;
    const t2 = majority(a, b, c) + (rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  return words(a, b, e, f);
}
// @ts-ignore: decorator
@inline function small0(w: u32): u32 { return rotr<u32>(w, 7) ^ rotr<u32>(w, 18) ^ (w >> 3); }
// @ts-ignore: decorator
@inline function small1(w: u32): u32 { return rotr<u32>(w, 17) ^ rotr<u32>(w, 19) ^ (w >> 10); }

/** SHA256MSG1. */
export function sha256Message1(cpu: usize, a: v128, b: v128): v128 {
  const w0: u32 = i32x4.extract_lane(a, 0), w1: u32 = i32x4.extract_lane(a, 1), w2: u32 = i32x4.extract_lane(a, 2), w3: u32 = i32x4.extract_lane(a, 3);
  return words(w3 + small0(i32x4.extract_lane(b, 0)), w2 + small0(w3), w1 + small0(w2), w0 + small0(w1));
}
/** SHA256MSG2. */
export function sha256Message2(cpu: usize, a: v128, b: v128): v128 {
  const w16 = <u32>i32x4.extract_lane(a, 0) + small1(i32x4.extract_lane(b, 2));
  const w17 = <u32>i32x4.extract_lane(a, 1) + small1(i32x4.extract_lane(b, 3));
  return words(<u32>i32x4.extract_lane(a, 3) + small1(w17), <u32>i32x4.extract_lane(a, 2) + small1(w16), w17, w16);
}
