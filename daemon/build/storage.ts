/** What buildah has, read from its storage: faster than asking it, which starts a process for each question. */

import { readIfPresent } from "../images/entries.ts";

/** An image as containers/storage lists it. */
interface StoredImage {
  id: string;
  names: string[];
}

/** Names of buildah's images by id without `sha256:`. Empty when it has none, or when its list cannot be read. */
export async function storedImages(storage: string): Promise<Map<string, string[]>> {
  const bytes = await readIfPresent(`${storage}/overlay-images/images.json`);
  const found = new Map<string, string[]>();
  try {
    const images: Partial<StoredImage>[] = bytes === undefined ? [] : JSON.parse(new TextDecoder().decode(bytes));
    for (const { id, names } of images) {
      if (typeof id === "string") found.set(id, Array.isArray(names) ? names : []);
    }
  } catch {
    // Asked for again then, which is no harm.
  }
  return found;
}

/** Config document of an image that buildah made; undefined when it is not where containers/storage puts it. */
export function storedConfig(storage: string, id: string): Promise<Uint8Array | undefined> {
  const hex = id.replace(/^sha256:/, "");
  return readIfPresent(`${storage}/overlay-images/${hex}/=${btoa(`sha256:${hex}`)}`);
}
