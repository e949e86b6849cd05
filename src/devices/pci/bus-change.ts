import type { RegisterBlock } from '../../wiring/register-block.ts';

/** What a write to configuration space changes on the outer bus. The bus's owner applies changes in order. */
export type BusChange =
  | { readonly kind: 'map'; readonly space: BarSpace; readonly base: number; readonly block: RegisterBlock }
  | { readonly kind: 'unmap'; readonly space: BarSpace; readonly base: number; readonly block: RegisterBlock };

export type BarSpace = 'port' | 'memory';
