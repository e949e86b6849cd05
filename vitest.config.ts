import { defineConfig } from 'vitest/config';
import { HangReporter } from './test/support/hang-reporter.ts';

const nightly = process.env['POLYVISOR_NIGHTLY'] === '1';
/** A file for the results as JSON. */
const results = process.env['POLYVISOR_RESULTS'];

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: nightly ? ['node_modules/**'] : ['node_modules/**', 'test/nightly/**'],
    passWithNoTests: false,
    maxWorkers: 2,
    // Engine auto: the same on every host that tests run on.
    env: { POLYVISOR_ENGINE: 'translator' },
    // For what hangs: hosts may be twenty times overloaded, and a test that only takes long has not failed.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    reporters: ['default', new HangReporter(), ...(results === undefined ? [] : [['json', { outputFile: results }] as const])],
    setupFiles: ['test/support/hang-notes.ts'],
  },
});
