/** Where the keys of encrypted segments come from: `key-files.ts`, or Flume's JCEKS key store. */
export interface KeyProvider {
  /**
   * The key of that name: 16, 24 or 32 bytes. Asked once a segment, at a start and when segments
   * roll. Throws KEY_MISSING with the alias and where it was looked for, or KEY_INVALID.
   */
  key(alias: string): Promise<Buffer>;
}
