/**
 * What both of PyTorch's file formats come down to: an object, and storages that it refers to.
 * @module
 */
import type { ByteSource } from "../byte_source.ts";
import type { PyValue } from "./pickle_values.ts";

/** Largest pickle that is read, in bytes. That of 100,000 tensors has about 15 MB; logs of a run can be larger. */
export const MAX_PICKLE = 128 << 20;

/** A file's object and its storages: every one that the object names, with the length that it should have. */
export interface TorchFile {
  /** The object that was saved. */
  readonly root: PyValue;
  /** The storages. */
  readonly storages: TorchStorages;
}

/** The storages of an open file. */
export interface TorchStorages {
  /** Which of the formats the file has. */
  readonly format: "zip" | "legacy";
  /** Whether the elements' bytes are in the reverse of the usual order. */
  readonly bigEndian: boolean;
  /** Whether a storage must be unpacked as a whole to read any of it. */
  isPacked(key: string): boolean;
  /** Compares a storage's checksum, where there is one. @throws {CheckpointError} it is another */
  verify(key: string): Promise<void>;
  /** A storage's bytes. */
  open(key: string): Promise<ByteSource>;
}
