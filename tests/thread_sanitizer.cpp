// In every program that is built for the thread sanitizer. RocksDB's library is not instrumented: its own synchronisation is invisible, and what it orders looks
// like a race. Reports with a frame of it are left out; the commit loop, the memory engine and all above them are seen in full.
#if defined(__SANITIZE_THREAD__)
extern "C" const char* __tsan_default_suppressions();
extern "C" __attribute__((weak)) const char* __tsan_default_suppressions() {  // weak: a program may get it from several of its parts
    return "race:librocksdb.so\nmutex:librocksdb.so\ndeadlock:librocksdb.so\ncalled_from_lib:librocksdb.so\n";
}
#endif
