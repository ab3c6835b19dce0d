# Both commands of the README in one image:
#   docker build -t gans .                        make book
#   docker run --rm -p 8000:8000 gans             the book at http://127.0.0.1:8000
#   docker build --target test .                  make test
FROM python:3.11-slim AS book
RUN apt-get update && apt-get install -y --no-install-recommends \
        bubblewrap chromium fonts-dejavu-core git make && rm -rf /var/lib/apt/lists/*
# For the smaller CPU build of torch: --build-arg PIP_TORCH_OPTIONS="--index-url ADDRESS", see book/back/install.md.
ARG PIP_TORCH_OPTIONS=""
ENV PIP_TORCH_OPTIONS=${PIP_TORCH_OPTIONS}
WORKDIR /book
COPY . .
RUN make book

FROM book AS test
RUN make test

FROM python:3.11-slim
COPY --from=book /book/_build/html /html
EXPOSE 8000
CMD ["python", "-m", "http.server", "8000", "--directory", "/html"]
