/** All containers of a daemon by id and name, with names reserved before a container exists. */

import { NyxError } from "../spec/errors.ts";
import type { Container } from "./container.ts";
import { checkName } from "./create.ts";
import { randomName, resolveRef } from "./names.ts";

/** Registry of containers. */
export class ContainerRegistry {
  readonly #containers = new Map<string, Container>();
  /** Ids by name, including those of containers that are being made. */
  readonly #names = new Map<string, string>();

  /** All containers. */
  get all(): Container[] {
    return [...this.#containers.values()];
  }

  /** The container of a whole id. */
  get(id: string): Container | undefined {
    return this.#containers.get(id);
  }

  /** Whether this very container is still known. */
  holds(container: Container): boolean {
    return this.#containers.get(container.id) === container;
  }

  /** Finds by id, name, short id or unique prefix. */
  find(ref: string): Container {
    return resolveRef(ref, this.#containers.values(), "container");
  }

  /** Whether some container has the name. */
  taken(name: string): boolean {
    return this.#names.has(name);
  }

  /** Takes a container in. */
  add(container: Container): void {
    this.#containers.set(container.id, container);
    this.#names.set(container.name, container.id);
  }

  /** Forgets a container; its name is free at once. */
  delete(container: Container): void {
    this.#containers.delete(container.id);
    if (this.#names.get(container.name) === container.id) this.#names.delete(container.name);
  }

  /**
   * Reserves a name for the container `id`.
   *
   * @param wanted name asked for; undefined picks one
   * @throws NyxError invalid_argument for what is no name, already_exists naming the holder
   */
  reserve(wanted: string | undefined, id: string): string {
    const name = wanted ?? randomName((n) => this.#names.has(n));
    checkName(name);
    const holder = this.#names.get(name);
    if (holder !== undefined) {
      throw new NyxError(
        "already_exists",
        `Could not use container name "${name}": container ${holder.slice(0, 12)} has it; remove or rename that one`,
        { context: { name, holder } },
      );
    }
    this.#names.set(name, id);
    return name;
  }

  /** Gives a reserved name back, unless the container came to exist. */
  release(name: string, id: string): void {
    if (this.#names.get(name) === id && !this.#containers.has(id)) this.#names.delete(name);
  }

  /** Frees a name that a container no longer has. */
  renamed(from: string): void {
    this.#names.delete(from);
  }
}
