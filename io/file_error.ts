/**
 * What the file system's error codes mean, in words that say what to do.
 * @module
 */

/** An error class that takes a message and a cause. */
export type FileErrorClass = new (message: string, options?: ErrorOptions) => Error;

const MEANING: { readonly [code: string]: string } = {
  ENOSPC: "the disk is full; free some space and try again",
  EDQUOT: "the disk quota is used up; free some space and try again",
  EFBIG: "the file is larger than the file system or the user's limit allows",
  EROFS: "the file system is read-only; choose another place",
  EACCES: "permission denied; look at the owner and the rights of the file and its folder",
  EPERM: "permission denied; look at the owner and the rights of the file and its folder",
  ENOENT: "there is no such file",
  EEXIST: "a part of the path is a file, not a folder; choose another path", // from mkdir
  ENOTDIR: "a part of the path is a file, not a folder; choose another path",
  EISDIR: "it is a folder; name a file",
  EMFILE: "too many files are open",
  ENAMETOOLONG: "the name is too long",
  EIO: "the disk reports an error",
};

/**
 * The typed error for one that the file system gave; an error that is one of `errorClass` already stays as it is.
 * @param action the verb: "read" or "write"
 */
export function fileError(
  errorClass: FileErrorClass,
  action: string,
  path: string,
  cause: unknown,
): Error {
  if (cause instanceof errorClass) return cause;
  const code = codeOf(cause);
  const what = code !== undefined && code in MEANING ? `${MEANING[code]} (${code})` : String(cause);
  return new errorClass(`cannot ${action} ${path}: ${what}`, { cause });
}

/** The code of a file-system error, such as "ENOENT"; undefined where it has none. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
