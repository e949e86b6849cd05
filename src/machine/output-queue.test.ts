import { expect, it } from 'vitest';
import { OutputQueue } from './output-queue.ts';

it('hands on what was put out, in order, and makes devices wait that have put out much', async () => {
  const queue = new OutputQueue();
  const got: string[] = [];
  let wrote = 0;
  const [a, b] = ['a', 'b'].map((name) => queue.before({ write: (bytes) => void got.push(`${name} ${bytes.length}`) }, () => wrote++));
  const nowhere = queue.before(undefined, () => wrote++);
  a!.write(new Uint8Array(3));
  b!.write(new Uint8Array(1 << 20));
  nowhere.write(new Uint8Array(1 << 24));
  expect([got, wrote]).toEqual([[], 3]);
  let ready = false;
  const waiting = a!.ready!();
  void waiting?.then(() => (ready = true));
  await undefined;
  expect([waiting instanceof Promise, ready]).toEqual([true, false]);
  queue.handOn();
  await waiting;
  expect([got, a!.ready!()]).toEqual([['a 3', `b ${1 << 20}`], undefined]);
});
