/**
 * A mistake of the user's: bad option, missing file, nonsense value. The command line prints the message as one
 * line and exits with status 1; the library lets it through. The message names what is wrong and what would be right.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
}

/** Stored state that cannot be loaded: wrong component, unknown version, value out of range. */
export class StateError extends Error {
  override readonly name = 'StateError';
}
