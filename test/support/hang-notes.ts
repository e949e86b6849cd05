import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect } from 'vitest';

// Vitest runs this before each file of tests, in that file's process. What is running is written down for the HangReporter at once:
// Vitest's own word of it would not leave a thread that hangs.

const folder = process.env['POLYVISOR_HANGS'];
function note(test: string): void {
  if (folder !== undefined) writeFileSync(join(folder, `${process.pid}`), `${expect.getState().testPath}\n${test}`);
}

note('before the first test');
beforeEach(({ task }) => note(task.name));
