/**
 * As much of Java's object serialization as keys in a key store need:
 *
 *   stream    = aced 0005 content
 *   content   = 70 null | 71 handle | 72 class | 73 object | 74 utf | 75 array | 7e constant of an enum
 *   class     = utf name, 8 bytes, flags, u16 count, field{count}, annotation, content (the class above, or null)
 *   field     = type, utf name, content (a string, its class) when the type is L or [
 *   object    = content (its class), then for each class from the top down: values, annotation when flag 1 is set
 *   array     = content (its class), u32 count, values          here of bytes only
 *   annotation= (77 u8 length, bytes | content)* 78
 *   utf       = u16 length, bytes
 *
 * Classes, objects, strings, arrays and enums get handles from 7e0000 on as they are read.
 * Nothing is allocated by a count that was not compared with the bytes there are.
 */
export type JavaValue = JavaObject | Buffer | string | undefined;

export interface JavaObject {
  readonly className: string;
  /** Of its class and those above; numbers are left out. */
  readonly fields: ReadonlyMap<string, JavaValue>;
}

/** The bytes are no such stream, or hold something that no key has. */
export class JavaStreamError extends Error {}

interface JavaClass {
  readonly name: string;
  readonly flags: number;
  readonly fields: readonly { readonly type: string; readonly name: string }[];
  readonly above: JavaClass | undefined;
}

const depthMax = 16;
const classesMax = 64;
const firstHandle = 0x7e0000;
const primitiveBytes: Readonly<Record<string, number>> = {
  ...{ B: 1, C: 2, D: 8, F: 4, I: 4 },
  ...{ J: 8, S: 2, Z: 1 },
};

/** Reads the one object of the stream at `start`, and says where it ends. */
export function readJavaObject(
  bytes: Buffer,
  start: number,
): { readonly object: JavaObject; readonly end: number } {
  const reader = new JavaStream(bytes, start);
  return reader.only();
}

class JavaStream {
  readonly #bytes: Buffer;
  #at: number;
  #depth = 0;
  readonly #handles: (JavaValue | JavaClass)[] = [];

  constructor(bytes: Buffer, start: number) {
    this.#bytes = bytes;
    this.#at = start;
  }

  only(): { object: JavaObject; end: number } {
    const head = this.#take(4);
    if (head.readUInt32BE(0) !== 0xaced0005)
      throw new JavaStreamError("no Java object begins there");
    const value = this.#content();
    if (!isObject(value)) throw new JavaStreamError("it is no object");
    return { object: value, end: this.#at };
  }

  #content(): JavaValue | JavaClass {
    this.#depth++;
    if (this.#depth > depthMax) throw new JavaStreamError("it is nested too deeply");
    const value = this.#tagged(this.#byte());
    this.#depth--;
    return value;
  }

  #tagged(tag: number): JavaValue | JavaClass {
    switch (tag) {
      case 0x70:
        return undefined;
      case 0x71:
        return this.#reference();
      case 0x72:
        return this.#class();
      case 0x73:
        return this.#object();
      case 0x74:
        return this.#remember(this.#utf());
      case 0x75:
        return this.#array();
      case 0x7e: {
        this.#classOf();
        const slot = this.#reserve();
        return (this.#handles[slot] = this.#string());
      }
      default:
        throw new JavaStreamError(`there is a ${tag.toString(16)} where a value should begin`);
    }
  }

  #reference(): JavaValue | JavaClass {
    const index = this.#take(4).readUInt32BE(0) - firstHandle;
    if (index < 0 || index >= this.#handles.length) throw new JavaStreamError("a handle is wrong");
    return this.#handles[index];
  }

  #class(): JavaClass {
    const name = this.#utf();
    this.#take(8);
    const slot = this.#reserve();
    const flags = this.#byte();
    const count = this.#take(2).readUInt16BE(0);
    const fields: { type: string; name: string }[] = [];
    for (let i = 0; i < count; i++) {
      const type = String.fromCharCode(this.#byte());
      fields.push({ type, name: this.#utf() });
      if (type === "L" || type === "[") this.#string();
      else if (!(type in primitiveBytes)) throw new JavaStreamError(`a field has type ${type}`);
    }
    this.#annotation();
    const above = this.#content();
    if (above !== undefined && !isClass(above)) throw new JavaStreamError("a class is none");
    const made: JavaClass = { name, flags, fields, above };
    this.#handles[slot] = made;
    return made;
  }

  #classOf(): JavaClass {
    const value = this.#content();
    if (!isClass(value)) throw new JavaStreamError("an object has no class");
    return value;
  }

  #object(): JavaObject {
    const own = this.#classOf();
    const slot = this.#reserve();
    const chain: JavaClass[] = [];
    for (let at: JavaClass | undefined = own; at !== undefined; at = at.above) {
      if (chain.length === classesMax) throw new JavaStreamError("it has too many classes");
      chain.unshift(at);
    }
    const fields = new Map<string, JavaValue>();
    for (const { flags, fields: declared } of chain) {
      if ((flags & 2) === 0) throw new JavaStreamError("a class writes itself in its own way");
      for (const { type, name } of declared) {
        const bytes = primitiveBytes[type];
        if (bytes !== undefined) this.#take(bytes);
        else fields.set(name, this.#value());
      }
      if ((flags & 1) !== 0) this.#annotation();
    }
    const made: JavaObject = { className: own.name, fields };
    this.#handles[slot] = made;
    return made;
  }

  #array(): Buffer {
    const { name } = this.#classOf();
    if (name !== "[B") throw new JavaStreamError(`there is an array of class ${name}`);
    const slot = this.#reserve();
    const count = this.#take(4).readInt32BE(0);
    if (count < 0) throw new JavaStreamError("an array has a negative length");
    const bytes = this.#take(count);
    this.#handles[slot] = bytes;
    return bytes;
  }

  #annotation(): void {
    for (;;) {
      const tag = this.#byte();
      if (tag === 0x78) return;
      if (tag === 0x77) this.#take(this.#byte());
      else {
        this.#at--;
        this.#content();
      }
    }
  }

  #value(): JavaValue {
    const value = this.#content();
    if (isClass(value)) throw new JavaStreamError("a class stands for a value");
    return value;
  }

  #string(): string {
    const value = this.#content();
    if (typeof value !== "string") throw new JavaStreamError("a name is no string");
    return value;
  }

  #utf(): string {
    const length = this.#take(2).readUInt16BE(0);
    return this.#take(length).toString("utf8");
  }

  #byte(): number {
    return this.#take(1)[0] as number;
  }

  #take(count: number): Buffer {
    if (count > this.#bytes.length - this.#at) throw new JavaStreamError("it is cut off");
    const taken = this.#bytes.subarray(this.#at, this.#at + count);
    this.#at += count;
    return taken;
  }

  #remember<T extends JavaValue>(value: T): T {
    this.#handles.push(value);
    return value;
  }

  #reserve(): number {
    return this.#handles.push(undefined) - 1;
  }
}

function isClass(value: JavaValue | JavaClass): value is JavaClass {
  return typeof value === "object" && "above" in value;
}

function isObject(value: JavaValue | JavaClass): value is JavaObject {
  return typeof value === "object" && "className" in value;
}
