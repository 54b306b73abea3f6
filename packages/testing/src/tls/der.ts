/** Just enough of ASN.1's DER to write certificates and stores. */
export function tagged(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

export const sequence = (...parts: readonly Buffer[]): Buffer => tagged(0x30, ...parts);
export const set = (...parts: readonly Buffer[]): Buffer => tagged(0x31, ...parts);
export const octets = (bytes: Buffer): Buffer => tagged(0x04, bytes);
export const bits = (bytes: Buffer): Buffer => tagged(0x03, Buffer.from([0]), bytes);
export const utf8 = (text: string): Buffer => tagged(0x0c, Buffer.from(text));
export const bmp = (text: string): Buffer => tagged(0x1e, bigEndian16(text));
export const nothing = tagged(0x05);
export const yes = tagged(0x01, Buffer.from([0xff]));
/** The context's own tag, around something. */
export const context = (number: number, ...parts: readonly Buffer[]): Buffer =>
  tagged(0xa0 + number, ...parts);

/** A whole number from 0 on. */
export function integer(value: number): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return tagged(0x02, (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.from([0]), bytes]));
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      groups.unshift((left & 0x7f) | 0x80);
    }
    bytes.push(...groups);
  }
  return tagged(0x06, Buffer.from(bytes));
}

export function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return tagged(0x18, Buffer.from(digits));
}

/** Two bytes a character, as Java and PKCS12 write passwords and names. */
export function bigEndian16(text: string): Buffer {
  return Buffer.from(text, "utf16le").swap16();
}
