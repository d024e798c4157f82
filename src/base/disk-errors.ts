/** Errors of the machine's file system as ours: what failed, on which path, what to do next. */
import { IdunnoError } from './errors.js';

const NEXT_STEP: Readonly<Record<string, string>> = {
  EACCES: 'give the user that runs the node access to it',
  EPERM: 'give the user that runs the node access to it',
  EROFS: 'the file system is mounted read-only: remount it or move dataDir',
  EMFILE: 'raise the limit of open files (ulimit -n)',
  ENFILE: 'raise the limit of open files (sysctl fs.file-max)',
  EIO: 'the device reports damage: check the disk; the cluster repairs what was on it',
  ENOTDIR: 'a part of the path is a file: move it away or change dataDir',
  EISDIR: 'a folder is where a file belongs: move it away',
};

/** `action` reads like "write /data/n1/epoch". */
export function diskError(error: unknown, action: string, path: string): IdunnoError {
  if (error instanceof IdunnoError) return error;
  const code = (error as NodeJS.ErrnoException)?.code ?? 'unknown';
  const data = { path, errno: code };
  if (code === 'ENOENT') {
    return new IdunnoError('LOCAL_FILE_NOT_FOUND', `cannot ${action}: no such file`, data, error);
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const text = `cannot ${action}: the disk is full; free space or move dataDir`;
    return new IdunnoError('DISK_FULL', text, data, error);
  }
  const next = NEXT_STEP[code] ?? 'check the disk and its permissions';
  return new IdunnoError('DISK_ERROR', `cannot ${action}: ${code}; ${next}`, data, error);
}
