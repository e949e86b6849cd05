import { Screenshot } from '../library/screenshot.ts';
import { encodePng } from './png.ts';

/** A display's contents at one moment, which can be written to a file. */
export class PngScreenshot extends Screenshot {
  /** As a PNG file. */
  png(): Uint8Array {
    return encodePng(this.picture);
  }
}
