import { cpus, release } from 'node:os';
import { calibrate } from '../host-node/calibration.ts';
import type { HostFinding } from '../host-node/calibration.ts';
import { NATIVE, brokenPromises, judge, kernelObstacle, microseconds, millions } from '../host-node/engine-choice.ts';
import { wasmProblem } from '../library/wasm-features.ts';
import type { CommandIo } from './io.ts';

/** Says what this host can do and what would help; returns the exit status: 0 when an engine runs here. */
export function doctor(options: { readonly recalibrate?: boolean }, io: CommandIo): number {
  const problem = wasmProblem(`Node ${process.version}`);
  const finding = calibrate(options.recalibrate ?? false);
  for (const line of describeHost(finding, problem)) io.stdout.write(`${line}\n`);
  return problem === undefined ? 0 : 1;
}

/** The whole finding, a line each. */
export function describeHost(finding: HostFinding, problem: string | undefined): readonly string[] {
  const row = (name: string, text: string): string => `${name.padEnd(13)}${text}`;
  const { kvm } = finding;
  const lines = [
    row('host', `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${process.platform} ${release()}, ${process.arch}, Node ${process.version}`),
    row('interpreter', problem === undefined ? 'works' : `does not work: ${problem}`),
    row('translator', problem === undefined ? 'works' : `does not work: ${problem}`),
  ];
  if ('reason' in kvm) lines.push(row('kvm', `not here: ${kvm.reason}`), row('', `to have it: ${kvm.remedy}`));
  else {
    lines.push(row('kvm', `opens; ring 0 ${millions(kvm.ring0)}, ring 3 ${millions(kvm.ring3)} million instructions/s; an exit ${microseconds(kvm.exitNs)}`));
    for (const broken of brokenPromises(kvm)) lines.push(row('', `wrong: ${broken}`));
    const obstacle = kernelObstacle(kvm);
    if (obstacle !== undefined) lines.push(row('', obstacle), row('', 'to have it: a host with virtualization in hardware, or nested virtualization from the one below'));
  }
  lines.push(row('hybrid', 'reason' in kvm ? 'needs kvm' : !kvm.syncRegisters ? 'does not work: KVM lacks KVM_CAP_SYNC_REGS; use a newer kernel' : `works: user code ${kvm.compatible >= NATIVE ? '' : 'of 64 bits '}runs by kvm, the kernel by the translator`));
  lines.push(problem === undefined ? `auto chooses ${judge(finding).why.replace(/^engine /, '')}` : 'no engine can run a guest here; use Node 20 or later');
  return lines;
}
