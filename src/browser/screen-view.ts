import type { VirtualMachine } from './virtual-machine.ts';

/** Buttons of MouseEvent.buttons are those of the PS/2 mouse, bit by bit. */
const BUTTONS = 0b111;

/** Of them, the left one. */
const LEFT = 0b1;

/**
 * A guest's display, keyboard and mouse. A click locks the pointer, Escape lets it go; a machine with a tablet gets the pointer's
 * place instead, and a tap is a click there. Control and Alt together leave the keyboard; a touch opens the device's keyboard.
 */
export class ScreenView {
  readonly #place: HTMLElement;
  readonly #leave: () => void;
  readonly #touch: HTMLTextAreaElement;
  readonly #held = new Set<string>();
  #canvas: HTMLCanvasElement | undefined;
  #vm: VirtualMachine | undefined;

  /** `leave`: puts the focus elsewhere. */
  constructor(place: HTMLElement, leave: () => void) {
    this.#place = place;
    this.#leave = leave;
    this.#touch = document.createElement('textarea');
    this.#touch.className = 'touch';
    this.#touch.tabIndex = -1;
    this.#touch.autocapitalize = 'off';
    this.#touch.setAttribute('aria-hidden', 'true');
    this.#touch.addEventListener('input', () => {
      const text = this.#touch.value;
      this.#touch.value = '';
      // Characters that no US keyboard has are left out.
      this.#vm?.sendKeys([...text].filter((character) => character === '\n' || (character >= ' ' && character <= '~')).join('')).catch(() => {});
    });
    this.#listenToKeys(this.#touch);
    place.append(this.#touch);
  }

  /** Shows a machine's display on a new canvas. */
  async attach(vm: VirtualMachine): Promise<void> {
    this.detach();
    const canvas = document.createElement('canvas');
    canvas.tabIndex = 0;
    canvas.setAttribute('role', 'application');
    canvas.setAttribute('aria-label', 'Screen of the guest. Keys go to the guest; Control and Alt together leave.');
    this.#listenToKeys(canvas);
    this.#listenToMouse(canvas);
    this.#canvas = canvas;
    this.#vm = vm;
    this.#place.prepend(canvas);
    await vm.show(canvas);
  }
  detach(): void {
    this.#releaseAll();
    this.#canvas?.remove();
    this.#canvas = undefined;
    this.#vm = undefined;
  }
  focus(): void {
    this.#canvas?.focus();
  }

  #listenToKeys(target: HTMLElement): void {
    target.addEventListener('keydown', (event) => {
      if (event.ctrlKey && event.altKey && (event.key === 'Control' || event.key === 'Alt')) {
        this.#releaseAll();
        document.exitPointerLock();
        this.#leave();
      } else if (event.code !== '' && event.code !== 'Unidentified') {
        event.preventDefault();
        this.#held.add(event.code);
        void this.#vm?.moveKey(event.code, true).catch(() => {});
      }
    });
    target.addEventListener('keyup', (event) => {
      if (!this.#held.delete(event.code)) return;
      event.preventDefault();
      void this.#vm?.moveKey(event.code, false).catch(() => {});
    });
    target.addEventListener('blur', () => this.#releaseAll());
  }

  #releaseAll(): void {
    for (const code of this.#held) void this.#vm?.moveKey(code, false).catch(() => {});
    this.#held.clear();
  }

  #listenToMouse(canvas: HTMLCanvasElement): void {
    const move = (event: MouseEvent, dx = 0, dy = 0, wheel = 0): void => {
      const vm = this.#vm;
      void (vm?.hasTablet ? vm.movePointer(...placeOn(canvas, event), event.buttons & BUTTONS, wheel) : vm?.moveMouse(dx, -dy, event.buttons & BUTTONS, wheel))?.catch(() => {});
    };
    canvas.addEventListener('pointerdown', (event) => {
      if (event.pointerType === 'touch') return;
      if (this.#vm?.hasTablet) {
        canvas.focus();
        // A button that is let go elsewhere is not to stay pressed.
        canvas.setPointerCapture(event.pointerId);
        move(event);
      } else if (document.pointerLockElement === null) {
        canvas.focus();
        // Where pages may not lock the pointer the mouse stays outside.
        void Promise.resolve(canvas.requestPointerLock()).catch(() => {});
      } else move(event);
    });
    canvas.addEventListener('touchend', (event) => {
      // The end of scrolling is none of a tap.
      if (!event.cancelable) return;
      // The mouse events that follow otherwise would take the focus to the canvas, and the keyboard away.
      event.preventDefault();
      this.#touch.focus();
      const [finger] = event.changedTouches;
      if (finger === undefined || !this.#vm?.hasTablet) return;
      for (const buttons of [LEFT, 0]) void this.#vm.movePointer(...placeOn(canvas, finger), buttons).catch(() => {});
    });
    const locked = (): boolean => (canvas.getRootNode() as Document | ShadowRoot).pointerLockElement === canvas;
    const caught = (event?: PointerEvent): boolean => (this.#vm?.hasTablet ? event?.pointerType !== 'touch' : locked());
    canvas.addEventListener('pointerup', (event) => caught(event) && move(event));
    canvas.addEventListener('pointermove', (event) => caught(event) && move(event, event.movementX, event.movementY));
    canvas.addEventListener('contextmenu', (event) => event.preventDefault());
    canvas.addEventListener('wheel', (event) => {
      if (!caught()) return;
      event.preventDefault();
      move(event, 0, 0, -Math.sign(event.deltaY));
    }, { passive: false });
  }
}

/** Where on the picture something is, in fractions of its width and height: the canvas's box may be of another shape. */
function placeOn(canvas: HTMLCanvasElement, { clientX, clientY }: { readonly clientX: number; readonly clientY: number }): [x: number, y: number] {
  const box = canvas.getBoundingClientRect();
  const scale = Math.min(box.width / canvas.width, box.height / canvas.height);
  const along = (at: number, middle: number, length: number): number => Math.min(1, Math.max(0, 0.5 + (at - middle) / length));
  return [along(clientX, box.x + box.width / 2, canvas.width * scale), along(clientY, box.y + box.height / 2, canvas.height * scale)];
}
