/**
 * For who wants to read what is left on a disk that has bad sectors.
 *
 * @module
 */
import type { Disk, DiskFile } from "./disk.ts";

/** In which bytes are tried that could not be read in one piece: a page, or a sector of new disks. */
const PIECE_BYTES = 4096;
/** Stands for bytes that cannot be read: not zero, as what was never written is; and no mark. */
const FILLER = 0xff;

/** `disk`, but what of a file cannot be read is read as filler, and so is damaged. */
export function withFiller(disk: Disk): Disk {
  return {
    list: (directory) => disk.list(directory),
    makeDirectory: (directory) => disk.makeDirectory(directory),
    open: async (path, mode) => fileWithFiller(await disk.open(path, mode)),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (directory) => disk.syncDirectory(directory),
  };
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
