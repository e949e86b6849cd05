import { FAULT_ADDRESS, FAULT_ERROR, FAULT_HAS_ERROR, FAULT_PENDING, FAULT_VECTOR, LEAVE_FAULT, VECTOR_GP, VECTOR_PF, VECTOR_UD } from "../isa/x86/state/layout.ts";

/** Makes a fault pending for the current instruction; returns LEAVE_FAULT for the caller to hand on. */
export function raiseFault(cpu: usize, vector: u32, hasError: u32, error: u32): i32 {
  store<u32>(cpu, 1, FAULT_PENDING);
  store<u32>(cpu, vector, FAULT_VECTOR);
  store<u32>(cpu, hasError, FAULT_HAS_ERROR);
  store<u32>(cpu, error, FAULT_ERROR);
  return LEAVE_FAULT;
}

export function raiseGeneralProtection(cpu: usize, error: u32): i32 {
  return raiseFault(cpu, VECTOR_GP, 1, error);
}

export function raiseUndefined(cpu: usize): i32 {
  return raiseFault(cpu, VECTOR_UD, 0, 0);
}

/** Error code bits: Intel SDM 3A, 4.7. */
export function raisePageFault(cpu: usize, linear: u64, error: u32): i32 {
  store<u64>(cpu, linear, FAULT_ADDRESS);
  return raiseFault(cpu, VECTOR_PF, 1, error);
}
