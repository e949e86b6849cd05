/** Marks the end of a switch over a closed union; the compiler complains where a member is missing. */
export function assertNever(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}
