/**
 * Address line 20 is driven by the keyboard controller's output port and by port 92h, wired OR: either one opens it.
 * Stateless but for its inputs, which both drivers set again when their state is loaded.
 */
export class A20Gate {
  #keyboard = false;
  #fast = false;
  readonly #apply: (enabled: boolean) => void;

  /** `apply` is called at every change, not for the initial closed state. */
  constructor(apply: (enabled: boolean) => void) {
    this.#apply = apply;
  }

  get enabled(): boolean {
    return this.#keyboard || this.#fast;
  }

  setKeyboard(enabled: boolean): void {
    this.#change(() => (this.#keyboard = enabled));
  }

  setFast(enabled: boolean): void {
    this.#change(() => (this.#fast = enabled));
  }

  #change(set: () => void): void {
    const before = this.enabled;
    set();
    if (this.enabled !== before) this.#apply(this.enabled);
  }
}
