/** First-in first-out queue of bytes that grows as needed; the space of taken bytes is used again. */
export class ByteQueue {
  #bytes = new Uint8Array(64);
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(byte: number): void {
    if (this.#length === this.#bytes.length) this.#grow(this.#length * 2);
    this.#bytes[(this.#head + this.#length) % this.#bytes.length] = byte;
    this.#length++;
  }

  pushAll(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(Math.max(this.#bytes.length * 2, this.#length + bytes.length));
    for (let i = 0; i < bytes.length; i++) this.push(bytes[i]!);
  }

  /** The oldest byte without taking it; undefined when empty. */
  peek(): number | undefined {
    return this.#length === 0 ? undefined : this.#bytes[this.#head];
  }

  /** Takes the oldest byte; undefined when empty. */
  shift(): number | undefined {
    if (this.#length === 0) return undefined;
    const byte = this.#bytes[this.#head];
    this.#head = (this.#head + 1) % this.#bytes.length;
    this.#length--;
    return byte;
  }

  clear(): void {
    this.#head = 0;
    this.#length = 0;
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.#length);
    for (let i = 0; i < this.#length; i++) bytes[i] = this.#bytes[(this.#head + i) % this.#bytes.length]!;
    return bytes;
  }

  replace(bytes: Uint8Array): void {
    this.clear();
    this.pushAll(bytes);
  }

  #grow(capacity: number): void {
    const kept = this.toBytes();
    this.#bytes = new Uint8Array(capacity);
    this.#bytes.set(kept);
    this.#head = 0;
  }
}
