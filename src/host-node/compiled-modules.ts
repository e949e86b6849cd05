import * as nodeModule from 'node:module';
import { join } from 'node:path';
import { cacheFolder } from './cache-folder.ts';

/** From Node 22.8 on what V8 has made of our modules is kept for the next start; where it cannot be kept, nothing changes. For programs: it concerns the whole process. */
export function keepCompiledModules(): void {
  (nodeModule as { readonly enableCompileCache?: (folder: string) => unknown }).enableCompileCache?.(join(cacheFolder(), 'modules'));
}
