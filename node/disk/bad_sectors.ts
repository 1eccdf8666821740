/**
 * Reads what is left on a disk that has bad sectors, for `salvage`.
 *
 * @module
 */
import { type Disk, type DiskFile, withOpen } from "./disk.ts";
import { isDeviceError } from "./disk_errors.ts";

/** What is tried where more cannot be read at once: a page, or a sector of a new disk. */
const PIECE_BYTES = 4096;
/** Stands for a byte that cannot be read: neither zero, which means never written, nor a mark. */
const FILLER = 0xff;

/**
 * The same disk, but what cannot be read of a file is read as filler, and so is damaged; and a file
 * that cannot even be opened, because of a bad sector, is read as an empty one.
 */
export function withFiller(disk: Disk): Disk {
  return withOpen(disk, async (path, mode) => {
    try {
      return fileWithFiller(await disk.open(path, mode));
    } catch (error) {
      if (mode === "read" && isDeviceError(error)) return NOTHING;
      throw error;
    }
  });
}

function fileWithFiller(file: DiskFile): DiskFile {
  const readPiece = (piece: Uint8Array, position: number) => {
    try {
      return file.read(piece, position);
    } catch {
      piece.fill(FILLER);
      return piece.length;
    }
  };
  return {
    size: () => file.size(),
    read(bytes, position) {
      try {
        return file.read(bytes, position);
      } catch {
        return readPiece(bytes.subarray(0, PIECE_BYTES - position % PIECE_BYTES), position);
      }
    },
    write: (bytes, position) => file.write(bytes, position),
    syncData: () => file.syncData(),
    tryLock: () => file.tryLock(),
    close: () => file.close(),
  };
}

/** What is read of a file that cannot be opened. */
const NOTHING: DiskFile = {
  size: () => Promise.resolve(0),
  read: () => 0,
  write: () => 0,
  syncData: () => Promise.resolve(),
  tryLock: () => true,
  close() {},
};
