import { writeFileSync } from 'node:fs';
import { buildInitramfs } from './build.ts';
import type { Engine, RunFiles } from './engines.ts';
import { measure, medians } from './measure.ts';
import type { Sessions } from './measure.ts';
import type { Width } from './programs.ts';
import type { Row } from './table.ts';

/** Boots the kernel with an init that powers off at once. */
export async function measureBoot(engines: readonly Engine[], width: Width, files: RunFiles, repeat: number, log: (line: string) => void): Promise<Sessions> {
  writeFileSync(files.initrd, buildInitramfs(width, '', []));
  return measure(engines, width, files, [], repeat, log);
}

/** From the start of the process: it includes the engine's own start. */
export function bootRows(sessions: Sessions): readonly Row[] {
  return [
    { name: 'to userland', seconds: medians(sessions, ({ userlandSeconds }) => [userlandSeconds]) },
    { name: 'to power-off', seconds: medians(sessions, ({ powerOffSeconds }) => [powerOffSeconds]) },
  ];
}
