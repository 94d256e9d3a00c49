// The library is not instrumented: its own synchronisation is invisible to the thread sanitizer, and what it frees under it looks like a race.
// Reports with a frame of the library are left out; the commit loop and the memory engine are seen in full.
#if defined(__SANITIZE_THREAD__)
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
    return "race:librocksdb.so\nmutex:librocksdb.so\ndeadlock:librocksdb.so\ncalled_from_lib:librocksdb.so\n";
}
#endif
