import { UserError } from '../base/errors.ts';

/** Further streams of the virtio console, by name: Linux has them as /dev/virtio-ports/NAME. */
const MOST_PORTS = 16;

/** Throws UserError. */
export function checkPorts(names: readonly string[]): readonly string[] {
  if (!Array.isArray(names)) throw new UserError('the console ports are no list');
  for (const name of names) {
    if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) throw new UserError(`console port "${name}" has no name that can be; give at most 63 letters, digits, dots, dashes and underscores, for instance org.example.agent`);
  }
  if (names.length > MOST_PORTS) throw new UserError(`${names.length} console ports are too many; give at most ${MOST_PORTS}`);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UserError(`two console ports are called ${twice}; give each its own name`);
  return names;
}
