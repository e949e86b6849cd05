import type { MachineReport } from '../library/machine-report.ts';

/** Figures about a run; docs/report.md describes each. */
export interface Report extends MachineReport {
  readonly host: { readonly node: string; readonly platform: string; readonly arch: string };
  readonly memory: MachineReport['memory'] & {
    /** Of the whole process, now and at its highest. */
    readonly residentBytes: number;
    readonly peakResidentBytes: number;
  };
}
