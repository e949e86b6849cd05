// What the core calls by names that the DOM's types do not have; see base/webassembly.d.ts, which stands for them elsewhere.
declare namespace WebAssembly {
  type ExportedFunction = (...args: never[]) => unknown;
}
