/**
 * The fonts that the project draws with: files of pinned npm packages, never the machine's own,
 * so that charts and drawings look alike everywhere and work in a bare container.
 *
 * All are under the SIL Open Font License 1.1. Families carry the prefix `IDunno`, so that a
 * machine's own Roboto is never taken by accident.
 */
import { createRequire } from 'node:module';
import { registerFontFile } from './canvas.js';

/** Family for plain text in charts and sheets. */
export const TEXT_FONT = 'IDunno Roboto';

/** One registered face. */
interface FontFace {
  readonly family: string;
  readonly weight: number;
  readonly file: string;
}

const FACES: readonly FontFace[] = [
  face('Roboto', 'roboto', 'Roboto', 300, 'Light'),
  face('Roboto', 'roboto', 'Roboto', 400, 'Regular'),
  face('Roboto', 'roboto', 'Roboto', 700, 'Bold'),
  face('Lora', 'lora', 'Lora', 400, 'Regular'),
  face('Lora', 'lora', 'Lora', 700, 'Bold'),
  face('Caveat', 'caveat', 'Caveat', 400, 'Regular'),
  face('Caveat', 'caveat', 'Caveat', 700, 'Bold'),
  face('Oswald', 'oswald', 'Oswald', 300, 'Light'),
  face('Oswald', 'oswald', 'Oswald', 500, 'Medium'),
  face('Inconsolata', 'inconsolata', 'Inconsolata', 400, 'Regular'),
  face('Inconsolata', 'inconsolata', 'Inconsolata', 700, 'Bold'),
  face('Patrick Hand', 'patrick-hand', 'PatrickHand', 400, 'Regular'),
];

/** The CSS `font` values, without a size, of every registered face: `700 24px "IDunno Lora"`. */
export const FONT_FACES: readonly { readonly family: string; readonly weight: number }[] =
  FACES.map(({ family, weight }) => ({ family, weight }));

let isRegistered = false;

/**
 * Registers all faces, once per process; later calls do nothing. Must come before the first
 * surface that uses them: the functions of this module that draw text call it themselves.
 */
export function registerFonts(): void {
  if (isRegistered) return;
  isRegistered = true;
  const resolve = createRequire(import.meta.url).resolve;
  for (const { family, weight, file } of FACES) registerFontFile(resolve(file), family, weight);
}

function face(
  name: string,
  pack: string,
  stem: string,
  weight: number,
  weightName: string,
): FontFace {
  const folder = `@expo-google-fonts/${pack}/${weight}${weightName}`;
  return { family: `IDunno ${name}`, weight, file: `${folder}/${stem}_${weight}${weightName}.ttf` };
}
