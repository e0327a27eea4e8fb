# The CUDA kernels, one object file for each number of 32-element chunks in a row.
# ptxas prints registers, spills and shared memory of every kernel (-v), and fails the build where
# a kernel spills or has an array in local memory, unless it is for rows of any length.

set(cuda_options
  --fmad=false  # as on the CPU: no fused multiply-adds
  --expt-relaxed-constexpr
  -Werror=all-warnings
  -Xcompiler=-Wall,-Wextra)

set(no_spills -v,-warn-spills,-warn-lmem-usage,-Werror)

function(add_cuda_kernel chunks ptxas)
  add_library(cuda_kernel_${chunks} OBJECT csrc/cuda/kernel.cu)
  target_compile_definitions(cuda_kernel_${chunks} PRIVATE CML_TARGET=cuda CML_CHUNKS=${chunks})
  target_compile_options(cuda_kernel_${chunks} PRIVATE ${cuda_options} -Xptxas=${ptxas})
  target_link_libraries(_core PRIVATE cuda_kernel_${chunks})
endfunction()

add_cuda_kernel(0 -v)
foreach(chunks RANGE 1 8)
  add_cuda_kernel(${chunks} ${no_spills})
endforeach()

# The kernel of searches.
add_library(cuda_select OBJECT csrc/cuda/select.cu)
target_compile_definitions(cuda_select PRIVATE CML_TARGET=cuda)
target_compile_options(cuda_select PRIVATE ${cuda_options} -Xptxas=${no_spills})
target_link_libraries(_core PRIVATE cuda_select)

add_library(cuda_train OBJECT csrc/cuda/train.cu csrc/cuda/minibatch_launch.cu)
target_compile_options(cuda_train PRIVATE ${cuda_options})
target_link_libraries(_core PRIVATE cuda_train)
target_compile_definitions(_core PRIVATE CML_WITH_CUDA)
