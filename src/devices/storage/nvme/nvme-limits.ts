/** Pairs of I/O queues. */
export const QUEUE_PAIRS = 4;
/** Of one queue. */
export const MOST_ENTRIES = 1024;
