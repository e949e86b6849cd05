# A guest for two processors: the first starts the second by INIT and
# start-up, both count under a spin lock, then they send each other interrupts: to one that is awake, then asleep. Says what it found on the serial port.
#define ROUNDS 5000
#define MESSAGES 200
#define APIC 0xfee00000
#define TRAMPOLINE 0x8000
#include "flat-guest.inc"

main:
  # Gate 40h.
  movl $received, %eax
  movw %ax, idt + 8 * 0x40
  movw $8, idt + 8 * 0x40 + 2
  movw $0x8e00, idt + 8 * 0x40 + 4
  shrl $16, %eax
  movw %ax, idt + 8 * 0x40 + 6
  lidt idt_pointer
  movl $0x1ff, APIC + 0xf0
  movl $trampoline, %esi
  movl $TRAMPOLINE, %edi
  movl $(trampoline_end - trampoline), %ecx
  rep movsb
  movl $0x000c4500, APIC + 0x300
  movl $(0x000c4600 | (TRAMPOLINE >> 12)), APIC + 0x300
1: pause
  cmpl $1, online
  jne 1b

  call count
1: pause
  cmpl $2, counted
  jne 1b

  # The other one's identifier is in the destination field already when it answers; here it is 1.
  movl $MESSAGES, %ebx
2: movl $0x01000000, APIC + 0x310
  movl $0x40, APIC + 0x300
3: cli
  cmpl $0, answers
  jne 4f
  sti
  hlt
  jmp 3b
4: decl answers
  sti
  decl %ebx
  jnz 2b
  cli

  movl $text, %esi
  call print
  movl counter, %edx
  call hex
  movl messages, %edx
  call hex
  movl $end, %esi
  call print
  movw $0x604, %dx
  movw $0x3400, %ax
  outw %ax, %dx
1: hlt
  jmp 1b

# The second processor.
second:
  movl $0xa0000, %esp
  lidt idt_pointer
  movl $0x1ff, APIC + 0xf0
  lock incl online
  call count
  # Awake for the first half of the messages.
  sti
1: pause
  cmpl $MESSAGES / 2, messages
  jb 1b
1: sti
  hlt
  jmp 1b

count:
  movl $ROUNDS, %ecx
1: movl $1, %eax
2: xchgl %eax, spin
  testl %eax, %eax
  jz 3f
  pause
  jmp 2b
3: incl counter
  movl $0, spin
  decl %ecx
  jnz 1b
  lock incl counted
  ret

# Interrupt 40h: the second answers, the first notes the answer.
received:
  pushl %eax
  movl APIC + 0x20, %eax
  shrl $24, %eax
  jz 1f
  incl messages
  movl $0, APIC + 0x310
  movl $0x40, APIC + 0x300
  jmp 2f
1: incl answers
2: movl $0, APIC + 0xb0
  popl %eax
  iret

  .code16
trampoline:
  cli
  lgdtl %cs:(gdt_pointer_low - trampoline)
  movl %cr0, %eax
  orl $1, %eax
  movl %eax, %cr0
  ljmpl $8, $(TRAMPOLINE + (flat - trampoline))
gdt_pointer_low:
  .word 23
  .long gdt
  .code32
flat:
  movw $16, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movl $second, %eax
  jmp *%eax
trampoline_end:

idt_pointer:
  .word 0x207
  .long idt
text: .asciz "found "
end: .asciz "end\n"
  .balign 64
online: .long 0
counted: .long 0
answers: .long 0
messages: .long 0
  .balign 64
spin: .long 0
  .balign 64
counter: .long 0
  .balign 64
idt: .fill 0x208, 1, 0
