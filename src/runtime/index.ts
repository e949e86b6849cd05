// The runtime module: routines too long for IR, compiled ahead of time and called by every software engine.
export * from "./blocks";
export * from "./faults";
export * from "./memory";
export * from "./paging";
export * from "./exceptions";
export * from "./segments";
export * from "./transfers";
export * from "./tasks";
export * from "./flags";
export * from "./position";
export * from "./control";
export * from "./ports";
export * from "./cpuid";
export * from "./msr";
export * from "./strings";
export * from "./fpu";
export * from "./integer";
