// What a page of code holds. Some instructions ask nobody: in ring 3 a processor executes them by its own tables and
// counters, not by the guest's, whatever the monitor would like.

/**
 * May the page at a host address hold, at any alignment: CPUID, XGETBV, RDTSC, RDTSCP, RDPID (the host's answers where its KVM does
 * not intercept them), XSAVE, XSAVEOPT, XSAVEC (its XCR0: what they store is larger then than CPUID has said, and XRSTOR refuses it
 * where the guest's holds), LSL (descriptor tables), VMCALL, VMMCALL (a hypercall of KVM's). An instruction that begins in
 * the page's last bytes may be one of them. Not LAR, VERR and VERW, which user code has no use for.
 */
export function isOpen(host: u32): bool {
  const end: usize = host + 0x1000;
  for (let at: usize = host; at < end; at += 8) {
    // Bytes that are 0x0f, by the carry trick; a byte above one may be marked wrongly.
    const others = load<u64>(at) ^ 0x0f0f0f0f0f0f0f0f;
    let marks = (others - 0x0101010101010101) & ~others & 0x8080808080808080;
    while (marks != 0) {
      if (begins(at + <usize>(ctz<u64>(marks) >> 3), end)) return true;
      marks &= marks - 1;
    }
  }
  return false;
}

function begins(at: usize, end: usize): bool {
  if (load<u8>(at) != 0x0f) return false;
  if (at + 1 == end) return true;
  const second = load<u8>(at, 1);
  if (second == 0xa2 || second == 0x31 || second == 0x03) return true;
  if (second != 0x01 && second != 0xae && second != 0xc7) return false;
  if (at + 2 == end) return true;
  const third = load<u8>(at, 2);
  if (second == 0x01) return third == 0xc1 || third == 0xd0 || third == 0xd9 || third == 0xf9;
  const memory: i32 = third < 0xc0 ? (third >> 3) & 7 : -1;
  return second == 0xae ? memory == 4 || memory == 6 : memory == 4 || third >= 0xf8;
}
