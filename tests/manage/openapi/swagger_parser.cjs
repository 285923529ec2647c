// Validates a document: swagger_parser.cjs FILE

const SwaggerParser = require('@apidevtools/swagger-parser');

SwaggerParser.validate(process.argv[2]).then(
    document => console.log(`valid: ${document.info.title}`),
    error => {
        console.error(error.message);
        process.exit(1);
    },
);
