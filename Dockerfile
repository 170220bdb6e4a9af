# The command `srgan` on the CPU, with the trained weights and the page of `srgan demo`:
#   docker build -t srgan_tf .
#   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" srgan_tf upscale photo.jpg
#   docker run --rm -p 127.0.0.1:7860:7860 srgan_tf demo --host=0.0.0.0 --port=7860
FROM python:3.12-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

# Before the package, so that a change of it does not install them again.
COPY requirements-cpu.txt /build/
RUN pip install --no-cache-dir -r /build/requirements-cpu.txt "gradio>=6.20"

COPY setup.cfg setup.py README.md LICENSE /build/
COPY srgan_tf /build/srgan_tf
RUN pip install --no-cache-dir --no-deps /build \
    && rm -r /build \
    && useradd --create-home --uid 1000 srgan

USER 1000
WORKDIR /data
EXPOSE 7860
ENTRYPOINT ["srgan"]
CMD ["--help"]
