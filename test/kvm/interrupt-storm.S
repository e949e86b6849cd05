# A hostile guest. Interrupts come faster than it can take them: from the
# 8254, the APIC's timer, and itself; it sends messages to processors that are not there, INIT, start-up and NMI to the one that may be,
# calls hypervisors with wild numbers and addresses, and offers structures of the paravirtual interface outside of memory.
# Says so on the serial port, then echoes what it gets there, while the storm goes on.
#ifdef RING0_EMULATED
#define ROUNDS 100
#else
#define ROUNDS 1000
#endif
#define APIC 0xfee00000
#define IO_APIC 0xfec00000
#define TRAMPOLINE 0x8000
#include "flat-guest.inc"

.macro out port, value
  movb $\value, %al
  outb %al, $\port
.endm
.macro message destination, command
  movl $\destination, APIC + 0x310
  movl $\command, APIC + 0x300
.endm
.macro call_hypervisor number, b, c, d, s
  movl $\number, %eax
  movl $\b, %ebx
  movl $\c, %ecx
  movl $\d, %edx
  movl $\s, %esi
  vmcall
.endm
.macro write_msr index, low, high
  movl $\index, %ecx
  movl $\low, %eax
  movl $\high, %edx
  wrmsr
.endm

main:
  # Vector 2 is NMI; 0 to 31 else are what is refused; the others the storm.
  xorl %ebx, %ebx
1: movl $taken, %eax
  cmpl $32, %ebx
  jae 2f
  movl $refused, %eax
2: movw %ax, idt(,%ebx,8)
  movw $8, idt + 2(,%ebx,8)
  movw $0x8e00, idt + 4(,%ebx,8)
  shrl $16, %eax
  movw %ax, idt + 6(,%ebx,8)
  incl %ebx
  cmpl $256, %ebx
  jb 1b
  movl $ignored, %eax
  movw %ax, idt + 16
  lidt idt_pointer

  # Where another processor starts, and gets NMIs in real mode: hlt; jmp; and iret 16 bytes behind.
  movl $0xfdebf4fa, TRAMPOLINE
  movb $0xcf, TRAMPOLINE + 16
  movl $(TRAMPOLINE + 16), 8

  out 0x20, 0x11
  out 0x21, 0x20
  out 0x21, 0x04
  out 0x21, 0x01
  out 0x21, 0xfe
  # Channel 0, mode 2, every second cycle.
  out 0x43, 0x34
  out 0x40, 2
  out 0x40, 0
  movl $0x1ff, APIC + 0xf0
  # The 8259's interrupts, and a timer of the shortest period.
  movl $0x700, APIC + 0x350
  movl $0xb, APIC + 0x3e0
  movl $0x20050, APIC + 0x320
  movl $1, APIC + 0x380
  # The serial port's line, level-triggered, for a processor that is not there.
  movl $0x18, IO_APIC
  movl $0xa060, IO_APIC + 0x10
  movl $0x19, IO_APIC
  movl $0xc8000000, IO_APIC + 0x10

  movl $ROUNDS, %edi
storm:
  message 0, 0x44041
  message 0xc8000000, 0x4042
  message 0, 0x84043
  message 0, 0xc4044
  message 0xc8000000, 0x4500
  message 0x01000000, 0x4500
  message 0x01000000, 0x4608
  message 0x01000000, 0x4400
  # A reserved vector, and a reserved kind of message.
  message 0, 0x44003
  message 0, 0x44341
#ifndef RING0_EMULATED
  call_hypervisor 5, 0, 0xffffffff, 0, 0
  call_hypervisor 9, 0xfffffff0, 0, 0, 0
  call_hypervisor 10, 0xffffffff, 0xffffffff, 0xfffffff0, 0x45
  call_hypervisor 10, 0xffffffff, 0xffffffff, 0, 0xffffffff
  call_hypervisor 11, 0xffffffff, 0, 0, 0
  call_hypervisor 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff
#endif
  write_msr 0x4b564d01, 0xfffffffd, 0xffffffff
  write_msr 0x4b564d00, 0xfffffffd, 0xffffffff
  write_msr 0x4b564d03, 0xffffffc1, 0xffffffff
  sti
#ifdef RING0_EMULATED
  # Such a KVM looks seldom whether it may hand one over.
  movl $1000, %ecx
1: loop 1b
#endif
  nop
  nop
  cli
  decl %edi
  jnz storm

  movl $text, %esi
  call print
  movl interrupts, %edx
  call hex
  movl $end, %esi
  call print
1: sti
  nop
  cli
  movw $0x3fd, %dx
  inb %dx, %al
  testb $1, %al
  jz 1b
  movw $0x3f8, %dx
  inb %dx, %al
  outb %al, %dx
  jmp 1b

# One of the storm. Both kinds of controller hear that it is over, whichever it came from. The next one would come before any other
# instruction for ever, so interrupts are off behind it.
taken:
  pushl %eax
  lock incl interrupts
  out 0x20, 0x20
  movl $0, APIC + 0xb0
  popl %eax
  andl $~0x200, 8(%esp)
ignored:
  iret

# A refused VMCALL or WRMSR, both of 3 and 2 bytes: VMCALL begins with 0F 01. #GP has an error code, #UD has none.
refused:
  pushl %eax
  movl 4(%esp), %eax
  testl %eax, %eax
  jnz 1f
  # The error code, 0.
  movl 8(%esp), %eax
  addl $2, 8(%esp)
  popl %eax
  addl $4, %esp
  iret
1: addl $3, 4(%esp)
  popl %eax
  iret

idt_pointer:
  .word 0x7ff
  .long idt
text: .asciz "storm "
end: .asciz "end\n"
  .balign 64
interrupts: .long 0
  .balign 64
idt: .fill 0x800, 1, 0
