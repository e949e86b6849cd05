// Functions that the host side (TypeScript) gives to the runtime module. See engines/runtime-module.ts.

/** Port input: size 1, 2 or 4; the value is zero-extended. */
@external("host", "readPort") export declare function readPort(port: i32, size: i32): i32;
@external("host", "writePort") export declare function writePort(port: i32, size: i32, value: i32): void;
/** The address is a double: JavaScript numbers hold physical addresses exactly. */
@external("host", "readMmio") export declare function readMmio(address: f64, size: i32): i32;
@external("host", "writeMmio") export declare function writeMmio(address: f64, size: i32, value: i32): void;
/** Bytes of a page that holds decoded code are about to have been written: drop the code. */
@external("host", "codeWritten") export declare function codeWritten(ramPage: i32, offset: i32, length: i32): void;
/** The host-side time stamp counter before the guest's offset is added, whole: as a double, for a BigInt takes twice as long to make as the rest. */
@external("host", "hostTsc") export declare function hostTsc(): f64;
@external("host", "random32") export declare function random32(): i32;
@external("host", "interruptPending") export declare function interruptPending(): i32;
/** Vector of the acknowledged interrupt, or -1. */
@external("host", "acknowledgeInterrupt") export declare function acknowledgeInterrupt(): i32;
@external("host", "takeNmi") export declare function takeNmi(): i32;
@external("host", "readTaskPriority") export declare function readTaskPriority(): i32;
@external("host", "writeTaskPriority") export declare function writeTaskPriority(value: i32): void;
/** FERR#, with CR0.NE clear: 0 the instruction waits, 1 IGNNE# lets it go on, 2 nothing is wired: #MF. */
@external("host", "numericError") export declare function numericError(pending: i32): i32;
/** The time of day when the guest's clock was zero, in microseconds since 1970. */
@external("host", "bootTime") export declare function bootTime(): f64;
/** A call of the paravirtual interface that concerns other processors; its answer. */
@external("host", "hypercall") export declare function hypercallToHost(number: i32, a: i64, b: i64, c: i64, d: i64): i64;
/** 1 when the register exists; its value is then at SCRATCH (low u32) and SCRATCH + 4 (high u32). */
@external("host", "apicMsrRead") export declare function apicMsrRead(index: i32): i32;
/** 1 when accepted, 0 for #GP. */
@external("host", "apicMsrWrite") export declare function apicMsrWrite(index: i32, low: i32, high: i32): i32;
