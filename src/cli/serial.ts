import { UserError } from '../base/errors.ts';
import type { ByteSink } from '../host/bytes.ts';
import { StreamSink } from '../host-node/stream-sink.ts';
import { fileTrouble } from '../host-node/words.ts';
import { openFileSink } from './file-sink.ts';
import type { CommandIo } from './io.ts';

/** Where the guest's serial line is connected. */
export interface SerialEnd extends ByteSink {
  /** Standard input belongs to it too. */
  readonly interactive: boolean;
  close(): void;
}

/** What to do when the output cannot be written any more: without an error, because nobody reads it. */
export type SerialFailed = (error: UserError | undefined) => void;

/** `stdio`, `none` or `file:PATH`. Throws UserError. */
export function openSerial(where: string, io: CommandIo, failed: SerialFailed): SerialEnd {
  if (where === 'none') return { interactive: false, write: () => {}, close: () => {} };
  if (where === 'stdio') return stdioSerial(io, failed);
  const path = /^file:(.+)$/s.exec(where)?.[1];
  if (path === undefined) throw new UserError(`serial "${where}" is not understood; give stdio, none or file:PATH`);
  return { interactive: false, ...openFileSink('serial output', path, failed) };
}

function stdioSerial(io: CommandIo, failed: SerialFailed): SerialEnd {
  const sink = new StreamSink(io.stdout);
  const broken = (error: NodeJS.ErrnoException): void => {
    sink.close();
    // A reader that has gone away, or a terminal that has, is no mistake.
    const gone = error.code === 'EPIPE' || error.code === 'EIO' || error.code === 'ERR_STREAM_DESTROYED';
    failed(gone ? undefined : new UserError(`standard output ${fileTrouble(error)}`));
  };
  io.stdout.on('error', broken);
  // The listener stays: what is still on its way may fail after the machine has ended.
  return { interactive: true, write: (bytes) => sink.write(bytes), ready: () => sink.ready(), close: () => {} };
}
