import { choice, list, prefixed, text } from "@millrace/core";

/** Encryption at rest, under Flume's keys; `KEYFILES` and what belongs to it are Millrace's own. */
export const encryptionOptions = {
  keyProvider: choice(
    "encryption.keyProvider",
    ["KEYFILES", "JCEKSFILE"],
    "Where keys come from: files of one key each, or a Java key store of the JCEKS kind. With a " +
      "provider but without encryption.activeKey nothing new is encrypted, and what is stays readable.",
  ),
  activeKey: text(
    "encryption.activeKey",
    "Name of the key that new log segments are encrypted with (AES-256-GCM). Another name takes " +
      "effect at the next start; the old key is needed until what it encrypted is drained.",
  ),
  cipherProvider: choice(
    "encryption.cipherProvider",
    ["AESGCM", "AESCTRNOPADDING"],
    "AES-GCM it is, whichever is named: Flume's AESCTRNOPADDING does not notice changed bytes.",
  ),
  keyDir: text(
    "encryption.keyProvider.keyDir",
    "KEYFILES: a directory with one file a key, named as the key is. A key file has 32 random " +
      "bytes, 64 hexadecimal digits or 44 characters of base64.",
  ),
  keyStoreFile: text("encryption.keyProvider.keyStoreFile", "JCEKSFILE: the key store."),
  keyStorePasswordFile: text(
    "encryption.keyProvider.keyStorePasswordFile",
    "JCEKSFILE: a file with the password of the key store.",
  ),
  keyNames: list(
    "encryption.keyProvider.keys",
    "Names of the keys that are used; JCEKSFILE needs it, KEYFILES does not.",
  ),
  keyFiles: prefixed(
    "encryption.keyProvider.keys",
    "<name>.file: KEYFILES, the file of that key where it is not in keyDir. <name>.passwordFile: " +
      "JCEKSFILE, a file with that key's password where it is not the key store's.",
  ),
};
