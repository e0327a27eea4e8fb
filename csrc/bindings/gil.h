// Python's global interpreter lock (GIL).
#pragma once

#include <Python.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <exception>
#include <optional>

namespace cml {

// Take the GIL back.
//
// When Python ends while a daemon thread is without the GIL, that thread must never have it again.
// Python before 3.14 then ends the thread by unwinding its stack, which would call destructors
// that use Python, and a destructor that lets an exception pass aborts the whole process. So the
// thread is stopped here and sleeps until the process has ended, as Python does itself from 3.14.
inline void take_gil(PyThreadState* state) {
    try {
        PyEval_RestoreThread(state);
    } catch (...) {
        for (;;) pause();
    }
}

inline bool is_python_ending() {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

// Let threads sleep that Python ends in the code of others, such as NumPy's, of which some is
// written such that unwinding it ends the process. What else calls std::terminate() does so still.
inline void let_ended_threads_sleep() {
    static const std::terminate_handler before = std::get_terminate();
    std::set_terminate([] {
        const bool is_main = syscall(SYS_gettid) == getpid();  // which ends the process
        while (is_python_ending() && !is_main && !std::current_exception()) pause();
        before();
    });
}

// Call work() without the GIL, and return what it returns or throw what it throws.
template <class Work>
auto without_gil(Work work) {
    std::optional<decltype(work())> result;
    std::exception_ptr failure;
    PyThreadState* state = PyEval_SaveThread();
    try {
        result = work();
    } catch (...) {
        failure = std::current_exception();
    }
    take_gil(state);
    if (failure) std::rethrow_exception(failure);
    return *result;
}

}  // namespace cml
