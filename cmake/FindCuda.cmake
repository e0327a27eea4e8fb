# Decide on CUDA as CML_CUDA asks. Sets
#   cml_with_cuda, cml_cuda_compiler, cml_cuda_architectures, cml_cuda_absent (the reason)

set(cml_with_cuda OFF)
set(cml_cuda_compiler "")
set(cml_cuda_architectures "")
set(cml_cuda_absent "")

if(CML_CUDA STREQUAL "OFF")
  set(cml_cuda_absent "CML_CUDA=OFF")
elseif(CML_CUDA STREQUAL "ON" OR CML_CUDA STREQUAL "AUTO")
  # Both must be set before the language is enabled.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
    set(CMAKE_CUDA_ARCHITECTURES
      75-real 80-real 86-real 89-real 90-real 100-real 120-real 120-virtual)
  endif()
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)

  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    set(CMAKE_CUDA_STANDARD 17)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(cml_with_cuda ON)
    set(cml_cuda_compiler "${CMAKE_CUDA_COMPILER_ID} ${CMAKE_CUDA_COMPILER_VERSION}")
    string(REPLACE ";" " " cml_cuda_architectures "${CMAKE_CUDA_ARCHITECTURES}")
  elseif(CML_CUDA STREQUAL "ON")
    message(FATAL_ERROR
      "CML_CUDA=ON, but no working nvcc was found. Put nvcc on PATH, set CUDACXX to it, or build "
      "the CPU kernels alone with CML_CUDA=OFF.")
  else()
    set(cml_cuda_absent "no working nvcc was found at build time")
  endif()
else()
  message(FATAL_ERROR "CML_CUDA must be AUTO, ON or OFF, got '${CML_CUDA}'")
endif()

if(cml_with_cuda)
  message(STATUS "cml_fast: CUDA kernels on (${cml_cuda_compiler}; ${cml_cuda_architectures})")
else()
  message(STATUS "cml_fast: CUDA kernels off (${cml_cuda_absent})")
endif()
