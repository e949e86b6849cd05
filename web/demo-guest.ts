/** A guest of the demo page, as it finds it in guests.json. Addresses are of this server. */
export interface DemoGuest {
  readonly name: string;
  readonly title: string;
  readonly memory: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly display?: boolean;
  readonly firmware?: string;
  readonly vgaBios?: string;
  readonly cdrom?: string;
}
