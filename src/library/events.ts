type Events<E> = { readonly [K in keyof E]: readonly unknown[] };

/** Typed listeners by event name. A listener that throws makes `emit` throw. */
export class Listeners<E extends Events<E>> {
  readonly #byEvent: { [K in keyof E]?: Set<(...args: E[K]) => void> } = {};

  /** Returns what removes the listener again. */
  add<K extends keyof E>(event: K, listener: (...args: E[K]) => void): () => void {
    const set = (this.#byEvent[event] ??= new Set<(...args: E[K]) => void>());
    set.add(listener);
    return () => void set.delete(listener);
  }

  emit<K extends keyof E>(event: K, ...args: E[K]): void {
    for (const listener of [...(this.#byEvent[event] ?? [])]) listener(...args);
  }
}
