import { Ir } from '../../ir/ir.ts';
import { AccessGrouping } from '../../ir/passes/access-groups.ts';
import { Lowering } from '../../lowering/lower.ts';

/** What making one region needs and the next one takes over: translation is to make little garbage (DESIGN D2.7). */
export class Scratch {
  readonly lowering = new Lowering();
  readonly grouping = new AccessGrouping();
  readonly #irs: Ir[] = [];
  #used = 0;

  /** An empty run of IR, valid until `release`. */
  ir(): Ir {
    let ir = this.#irs[this.#used];
    if (ir === undefined) {
      ir = new Ir();
      this.#irs.push(ir);
    }
    this.#used++;
    ir.clear();
    return ir;
  }
  release(): void {
    this.#used = 0;
  }
}
