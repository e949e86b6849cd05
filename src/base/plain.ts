/**
 * Plain data: what `save()` returns and `load()` takes. Everything in it survives structuredClone and a JSON-like
 * encoding that knows bigint and Uint8Array.
 */
export type Plain =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Plain[]
  | { readonly [key: string]: Plain };

/**
 * A component whose whole state can be stored. `stateName` and `stateVersion` go with the state into the container,
 * so `load` may meet states of older versions and has to refuse unknown ones with a StateError. Loaded state is
 * hostile input: every value is checked before use.
 */
export interface Stateful<S extends Plain = Plain> {
  readonly stateName: string;
  readonly stateVersion: number;
  save(): S;
  load(state: Plain, version: number): void;
}
