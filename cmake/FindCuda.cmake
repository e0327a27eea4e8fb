# Decide on CUDA as CML_CUDA asks. Sets
#   cml_with_cuda, cml_cuda_compiler, cml_cuda_architectures, cml_cuda_absent (the reason)

set(cml_with_cuda OFF)
set(cml_cuda_compiler "")
set(cml_cuda_architectures "")
set(cml_cuda_absent "")

set(all_architectures 75-real 80-real 86-real 89-real 90-real 100-real 120-real 120-virtual)
set(portable_architecture 75-virtual)  # PTX, from which the driver makes code for any later GPU

# The architectures of the GPUs that are visible here, those that nvcc knows.
function(find_native_architectures result)
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
    OUTPUT_VARIABLE capabilities ERROR_QUIET RESULT_VARIABLE failed)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch
    OUTPUT_VARIABLE known ERROR_QUIET)
  set(found "")
  if(failed EQUAL 0)
    string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${capabilities}")
    foreach(capability IN LISTS capabilities)
      string(REPLACE "." "" number ${capability})
      if(number GREATER_EQUAL 75 AND known MATCHES "compute_${number}[^0-9]")
        list(APPEND found ${number}-real)
      endif()
    endforeach()
    list(REMOVE_DUPLICATES found)
  endif()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# They must be set before the language is enabled.
function(choose_architectures result)
  if(CML_CUDA STREQUAL "ON")
    set(chosen ${all_architectures})
  else()
    find_native_architectures(chosen)
    if(NOT chosen)
      set(chosen ${portable_architecture})
      message(STATUS "cml_fast: no GPU is visible here, so that the CUDA kernels are built as "
        "portable PTX, which the driver compiles for its GPU at the first start; CML_CUDA=ON "
        "builds for all GPUs")
    endif()
  endif()
  set(${result} ${chosen} PARENT_SCOPE)
endfunction()

if(CML_CUDA STREQUAL "OFF")
  set(cml_cuda_absent "CML_CUDA=OFF")
elseif(CML_CUDA STREQUAL "ON" OR CML_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
      choose_architectures(CMAKE_CUDA_ARCHITECTURES)
    endif()
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
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
