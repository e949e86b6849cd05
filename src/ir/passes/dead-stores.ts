import type { Ir } from '../ir.ts';
import { operationNumber, operations } from '../operations.ts';
import type { AccessGroups } from './access-groups.ts';

// What is overwritten before anybody can look at it: stores of whole registers to the state, and values of variables.

const STORE_64 = operationNumber('state.store64');
const POSITION = operationNumber('position');
const kinds = operations.map(({ name, effect }, code) => {
  if (code === STORE_64) return 'store';
  if (name.startsWith('variable.')) return name.startsWith('variable.set') ? 'set' : 'get';
  if (effect.endsWith('-memory')) return name === 'fence' ? 'other' : 'access';
  if (effect === 'reads-state') return 'look';
  return effect === 'control' || effect === 'call' || (effect === 'transfer' && code !== POSITION) ? 'barrier' : 'other';
});

/** What the way out of a block, where an access is missed, looks at besides the state. */
export interface SeenAtExits {
  /** Bit mask of variables; those beyond are looked at behind the block alone. */
  readonly variables: number;
  /** The registers: 8 bytes each, from offset 0 of the state to here. */
  readonly registerBytes: number;
}

/** Takes such stores out of a block. Only a group's leader can be missed. */
export function eraseDeadStores(ir: Ir, groups: AccessGroups, seen: SeenAtExits): void {
  let registers = 0;
  let variables = 0;
  for (let i = ir.length - 1; i >= 0; i--) {
    const immediate = ir.small(i);
    switch (kinds[ir.op[i]!]!) {
      case 'store': {
        if (immediate >= seen.registerBytes) break;
        const bit = 1 << (immediate >> 3);
        if ((registers & bit) !== 0) ir.erase(i);
        registers |= bit;
        break;
      }
      case 'set': {
        if (immediate >= 32) break;
        const bit = 1 << immediate;
        if ((variables & bit) !== 0) ir.erase(i);
        variables |= bit;
        break;
      }
      case 'get':
        if (immediate < 32) variables &= ~(1 << immediate);
        break;
      case 'access':
        if (groups.leader[i]! >= 0 && groups.leader[i] !== i) break;
        registers = 0;
        variables &= ~seen.variables;
        break;
      case 'look':
        if (immediate < seen.registerBytes) registers = 0;
        break;
      case 'barrier':
        registers = variables = 0;
        break;
      default:
    }
  }
}
