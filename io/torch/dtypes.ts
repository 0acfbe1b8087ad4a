/**
 * PyTorch's element types and storage classes, and the names that files and people give them.
 * @module
 */
import type { FileDType } from "../named_array.ts";

/** PyTorch's name of each element type of a file. */
export const TORCH_NAMES: Readonly<Record<FileDType, string>> = {
  BOOL: "bool",
  U8: "uint8",
  I8: "int8",
  F8_E5M2: "float8_e5m2",
  F8_E4M3: "float8_e4m3fn",
  F8_E5M2FNUZ: "float8_e5m2fnuz",
  F8_E4M3FNUZ: "float8_e4m3fnuz",
  F8_E8M0: "float8_e8m0fnu",
  I16: "int16",
  U16: "uint16",
  F16: "float16",
  BF16: "bfloat16",
  I32: "int32",
  U32: "uint32",
  F32: "float32",
  F64: "float64",
  I64: "int64",
  U64: "uint64",
};

/** The element type for a dtype as a pickle names it, such as `torch.float32`; undefined for one that is not read. */
export function dtypeOfTorch(name: string): FileDType | undefined {
  return BY_TORCH_NAME.get(name);
}

const BY_TORCH_NAME: ReadonlyMap<string, FileDType> = new Map(
  Object.entries(TORCH_NAMES).map(([dtype, name]) => [`torch.${name}`, dtype as FileDType]),
);

/** What a storage class says about its elements. */
export interface StorageClass {
  /** PyTorch's name of the element type. */
  readonly torchName: string;
  /** The element type; null where wgrad does not read it, or where the tensor names it (an untyped storage). */
  readonly dtype: FileDType | null;
  /** Bytes of an element. */
  readonly bytes: number;
}

/** Class, element type, and its bytes: a legacy file has no other word on how long a storage is. */
const STORAGE_CLASSES: readonly (readonly [string, string, FileDType | null, number])[] = [
  ["FloatStorage", "float32", "F32", 4],
  ["DoubleStorage", "float64", "F64", 8],
  ["HalfStorage", "float16", "F16", 2],
  ["BFloat16Storage", "bfloat16", "BF16", 2],
  ["LongStorage", "int64", "I64", 8],
  ["IntStorage", "int32", "I32", 4],
  ["ShortStorage", "int16", "I16", 2],
  ["CharStorage", "int8", "I8", 1],
  ["ByteStorage", "uint8", "U8", 1],
  ["BoolStorage", "bool", "BOOL", 1],
  ["ComplexFloatStorage", "complex64", null, 8],
  ["ComplexDoubleStorage", "complex128", null, 16],
  ["QUInt8Storage", "quint8", null, 1],
  ["QInt8Storage", "qint8", null, 1],
  ["QInt32Storage", "qint32", null, 4],
  ["QUInt4x2Storage", "quint4x2", null, 1],
  ["QUInt2x4Storage", "quint2x4", null, 1],
  ["UntypedStorage", "bytes", null, 1],
];

const BY_CLASS: ReadonlyMap<string, StorageClass> = new Map(
  STORAGE_CLASSES.flatMap(([name, torchName, dtype, bytes]) => {
    const about = { torchName, dtype, bytes };
    return [[`torch.${name}`, about], [`torch.storage.${name}`, about]] as const;
  }),
);

/** What a storage class says, by its full name; undefined for one that is unknown. */
export function storageClass(name: string): StorageClass | undefined {
  return BY_CLASS.get(name);
}
