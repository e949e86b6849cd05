import { vi } from 'vitest';

const hostTime = Date.now.bind(Date);

/** The host's time of day is later by so much, until mocks are restored. */
export function setForward(ms: number): void {
  vi.spyOn(Date, 'now').mockImplementation(() => hostTime() + ms);
}
