#!/usr/bin/env node
import { lowerBackgroundThreads } from '../host-node/background-threads.ts';
import { keepCompiledModules } from '../host-node/compiled-modules.ts';
import { useOneMallocArena } from '../host-node/malloc-arena.ts';
import { keepYoungGenerationSmall } from '../host-node/young-generation.ts';

// Before the rest is loaded, which by itself makes the young generation grow to sixteen times what it begins with.
keepYoungGenerationSmall();
keepCompiledModules();
lowerBackgroundThreads();
useOneMallocArena();
const { main } = await import('./program.ts');
// Readers may go away at any time; who cares listens for itself.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
const status = await main(process.argv.slice(2));
// Output still on its way to a pipe is written before the process ends.
process.stdout.write('', () => process.stderr.write('', () => process.exit(status)));
