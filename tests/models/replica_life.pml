/* The life of one replica in the cache: pinned, filled, handed out, evicted, wanted again.
 *
 * A model of cachefs/cache (block_cache.cc, extent_fetch.cc, space.cc) with one replica of one extent.
 * What the code does under BlockCache::mutex_ or Replica::mutex is one atomic step here; every call
 * to the disk is a step of its own, so all others may come between. Checked over all interleavings:
 *
 *   - a descriptor that was handed out shows verified bytes for as long as it lives, whatever
 *     becomes of the replica (assert in HandOut, and `broken` at every step);
 *   - after a crash at any moment no record claims bytes that were not verified (`lying`);
 *   - what is being filled is never unlinked under the filler: a replica that is said to be complete
 *     has its file (assert in HandOut);
 *   - nobody waits for ever (no invalid end state).
 *
 * Run by tests/e2e/test_models.py, which also leaves out what the code takes care of, one thing at a
 * time; the model must then be found wrong, which shows that the checks can fail:
 *   -DWITHOUT_REMOVING   nothing is written while the earlier file is removed (BlockCache::removing_)
 *   -DRECORD_TOO_EARLY   the record is written after the bytes
 *   -DEVICTS_WHAT_IS_HELD   a pinned replica stays
 */

#define INODES 4
#define NONE 255
#ifdef EVICTS_WHAT_IS_HELD
#define EVICTS_HELD true
#else
#define EVICTS_HELD false
#endif

mtype = { kAbsent, kFetching, kPresent };

/* In memory, under the mutex of the cache. */
bool loaded;       /* replicas_ has an object */
byte pins;         /* Replica::pins */
bool accounted;    /* eviction_.Contains(id) */
bool doomed;       /* doomed_ has the id */
bool removing;     /* removing_ has the id */
/* In memory, under the mutex of the replica. */
mtype extent = kAbsent;
bool complete;
bool finishing;
byte filling = NONE;      /* the inode that Replica::file is open on, for writing */

/* On disk. `version` stands for the times of the file, which every write changes. */
byte entry = NONE;        /* the inode that the name leads to */
byte inodes;              /* how many were made */
bool right[INODES];       /* its bytes are the verified ones */
byte version[INODES];
bool handed[INODES];      /* somebody has a descriptor */
byte record_inode = NONE; /* what the record says it is about */
byte record_version;

#define broken (handed[0] && !right[0] || handed[1] && !right[1] || handed[2] && !right[2] || handed[3] && !right[3])
#define lying (record_inode != NONE && record_inode == entry && version[entry] == record_version && !right[entry])

inline Pin() {
  atomic {
    if
    :: loaded -> skip
    :: else ->
      loaded = true; extent = kAbsent; complete = false; filling = NONE;
      /* Load: only what is accounted for; believed if record and file agree. */
      if
      :: accounted && record_inode != NONE && record_inode == entry && version[entry] == record_version ->
        extent = kPresent; complete = true
      :: else -> skip
      fi
    fi;
    pins++
  }
}

inline Unpin() {
  atomic {
    pins--;
    if
    :: pins == 0 && !accounted -> loaded = false
    :: else -> skip
    fi
  }
}

/* RemoveDoomed, by whoever has evicted. */
inline RemoveDoomed(mine) {
  atomic {
    mine = false;
    if
    :: !doomed -> skip
    :: doomed && accounted -> doomed = false       /* its file is being written over */
    :: doomed && !accounted && loaded -> skip      /* wanted again */
    :: doomed && !accounted && !loaded -> doomed = false; removing = true; mine = true
    fi
  }
  if
  :: mine ->
    record_inode = NONE;                           /* first the record */
    entry = NONE;                                  /* unlink */
    removing = false
  :: else -> skip
  fi
}

/* A worker that fetches the extent and finishes the replica. The caller has pinned it. */
inline Fill(file, reserved) {
  atomic {
    if
    :: extent == kAbsent -> extent = kFetching; reserved = true
    :: else -> reserved = false
    fi
  }
  if
  :: reserved ->
    /* ReserveSpace */
    atomic {
      if
#ifndef WITHOUT_REMOVING
      :: removing -> extent = kAbsent; reserved = false
#endif
      :: else -> accounted = true
      fi
    }
  :: else -> skip
  fi;
  if
  :: reserved ->
    /* OpenForFilling: creates the file where there is none. */
    atomic {
      if
      :: entry != NONE -> file = entry
      :: entry == NONE && inodes < INODES -> file = inodes; inodes++; entry = file
      :: entry == NONE && inodes >= INODES -> file = NONE   /* the end of the model, not of the world */
      fi;
      filling = file
    }
    if
    :: file != NONE ->
#ifdef RECORD_TOO_EARLY
      atomic { record_inode = entry; record_version = version[file] };
#endif
      /* WriteExtent: the same bytes over right ones leave them right. */
      atomic { version[file]++; right[file] = right[file] };
      atomic { version[file]++; right[file] = true };
      extent = kPresent;
      /* Finish: synced, mode 0400, then the record, then known to be complete. */
      atomic { record_inode = entry; record_version = (entry != NONE -> version[entry] : 0) };
      complete = true
    :: else -> extent = kAbsent
    fi
  :: else -> skip
  fi
}

proctype Reader() {
  byte file = NONE;
  bool reserved = false;
  byte turns = 0;
  do
  :: turns < 2 ->
    turns++;
    Pin();
    if
    :: complete ->
      /* HandOut: opened by its name while it is pinned. */
      atomic {
        assert(entry != NONE);
        handed[entry] = true;
        assert(right[entry])
      }
    :: else -> Fill(file, reserved)
    fi;
    /* A lease may end before its descriptor is closed: `handed` stays. */
    Unpin()
  :: else -> break
  od
}

proctype Evictor() {
  byte turns = 0;
  bool mine = false;
  do
  :: turns < 2 ->
    turns++;
    atomic {
      if
      :: accounted && (pins == 0 || EVICTS_HELD) -> loaded = false; accounted = false; doomed = true
      :: else -> skip
      fi
    }
    RemoveDoomed(mine)
  :: else -> break
  od
}

init {
  atomic { run Reader(); run Reader(); run Evictor(); run Evictor() }
}

never {
  /* Any state in which one of the two holds is an error. */
  do
  :: broken || lying -> break
  :: else -> skip
  od
}
