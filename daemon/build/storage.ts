/** What buildah has, read from its storage: faster than asking it, which starts a process for each question. */

/** An image as containers/storage lists it. */
interface StoredImage {
  id: string;
  names: string[];
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return undefined;
    throw e;
  }
}

/** Names of buildah's images by id without `sha256:`. Empty when it has none, or when its list cannot be read. */
export async function storedImages(storage: string): Promise<Map<string, string[]>> {
  const text = await textOf(`${storage}/overlay-images/images.json`);
  const found = new Map<string, string[]>();
  try {
    for (const { id, names } of JSON.parse(text ?? "[]") as Partial<StoredImage>[]) {
      if (typeof id === "string") found.set(id, Array.isArray(names) ? names : []);
    }
  } catch {
    // Asked for again then, which is no harm.
  }
  return found;
}

/** Config document of an image that buildah made; undefined when it is not where containers/storage puts it. */
export async function storedConfig(storage: string, id: string): Promise<Uint8Array | undefined> {
  const hex = id.replace(/^sha256:/, "");
  const text = await textOf(`${storage}/overlay-images/${hex}/=${btoa(`sha256:${hex}`)}`);
  return text === undefined ? undefined : new TextEncoder().encode(text);
}
